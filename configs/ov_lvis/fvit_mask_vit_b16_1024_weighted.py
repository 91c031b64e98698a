# The same with a softmax in which rare classes weigh more, in place of the federated loss.
_base_ = './fvit_mask_vit_b16_1024.py'
model = dict(
    roi_head=dict(
        bbox_head=dict(
            classifier=dict(background=True, bias=None),
            loss_cls=dict(_delete_=True, type='fgdet.FrequencyWeightedLoss', counts='lvis_v1_base'),
        ),
    ),
)
