# What every detector's run shares: mmdet's pictures of predictions on top of the default runtime.
_base_ = 'default_runtime.py'
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
visualizer = dict(type='DetLocalVisualizer')
# The frozen towers stay out of the optimiser.
optim_wrapper = dict(constructor='fgdet.TrainableOptimWrapperConstructor')
