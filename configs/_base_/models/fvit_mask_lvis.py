# F-ViT with masks for LVIS: the federated loss (Zhou et al., arXiv 2103.07461, section 5.4) over the 866 base classes,
# and 300 detections an image at any score, as LVIS counts them.
_base_ = './fvit_mask.py'
model = dict(
    roi_head=dict(
        bbox_head=dict(
            # A bias of -4.6 gives every class a probability of 0.01 at first (RetinaNet, arXiv 1708.02002, 4.1).
            classifier=dict(background=False, bias=-4.6),
            loss_cls=dict(_delete_=True, type='fgdet.FederatedLoss', counts='lvis_v1_base'),
        ),
    ),
    test_cfg=dict(
        rcnn=dict(
            score_thr=1e-4,
            max_per_img=300,
            # Further towards the tower than on OV-COCO, as there are more classes to tell apart with fewer boxes each.
            # Starting points, to be swept.
            score_ensemble=dict(alpha=0.35, beta=0.65),
        )
    ),
)
