# What every pretraining run shares: counted by iterations, bad records counted, samples per second logged.
_base_ = 'default_runtime.py'
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=500),
)
custom_hooks = [
    dict(type='fgdet.SkippedRecordsHook', max_share=0.1),
    dict(type='fgdet.ThroughputHook'),
    dict(type='fgdet.DataPositionHook'),
    dict(type='fgdet.IterationSeedHook'),
]
log_processor = dict(by_epoch=False, window_size=10)
