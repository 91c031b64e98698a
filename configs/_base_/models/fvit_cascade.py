# F-ViT with three stages (Cascade R-CNN, arXiv 1712.00726, section 4.1 and mmdet's settings): each is trained on boxes
# that overlap an object by more than those of the one before it.
_base_ = './fvit.py'
head = _base_.model.roi_head.bbox_head
rcnn = _base_.model.train_cfg.rcnn
stds = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
overlaps = [0.5, 0.6, 0.7]
model = dict(
    roi_head=dict(
        type='fgdet.OpenVocabularyCascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[dict(head, bbox_coder=dict(head.bbox_coder, target_stds=each)) for each in stds],
    ),
    train_cfg=dict(
        rcnn=[
            dict(rcnn, assigner=dict(rcnn.assigner, pos_iou_thr=each, neg_iou_thr=each, min_pos_iou=each))
            for each in overlaps
        ],
    ),
)
