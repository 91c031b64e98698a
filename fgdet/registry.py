"""fgdet's registries: children of mmengine's roots, so that any config finds a part as ``type='fgdet.Name'``.

``locations`` are imported on the first lookup, never before. Keep this file bare: mmengine swallows an import error
raised here and reports "X is not in the registry" instead.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

SCOPE = 'fgdet'

#: Encoders, losses, pretrainers, backbones, necks, heads, detectors.
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope=SCOPE,
    locations=['fgdet.models', 'fgdet.models.dense_heads', 'fgdet.models.roi_heads', 'fgdet.models.detectors'],
)
#: Sources of training and evaluation samples.
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope=SCOPE, locations=['fgdet.datasets', 'fgdet.datasets.ov_lvis']
)
#: Orders in which a dataset is read.
DATA_SAMPLERS = Registry('data sampler', parent=MMENGINE_DATA_SAMPLERS, scope=SCOPE, locations=['fgdet.datasets'])
#: Functions that a config names: how samples become a batch.
FUNCTIONS = Registry('function', parent=MMENGINE_FUNCTIONS, scope=SCOPE, locations=['fgdet.datasets'])
#: Steps of a data pipeline; each maps one results dict to the next.
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope=SCOPE, locations=['fgdet.datasets.transforms'])
#: Scores of a run: ``process`` a batch, ``compute_metrics`` over all of them.
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope=SCOPE, locations=['fgdet.evaluation.metrics'])
#: Actions at fixed points of a run.
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope=SCOPE, locations=['fgdet.engine'])
#: Builders of optimiser parameter groups.
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE,
    locations=['fgdet.engine'],
)
#: Optimisers with a precision, or a way to average gradients.
OPTIM_WRAPPERS = Registry('optimizer wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope=SCOPE, locations=['fgdet.engine'])
#: Ways to spread a model over processes, for mmengine's FlexibleRunner.
STRATEGIES = Registry('strategy', parent=MMENGINE_STRATEGIES, scope=SCOPE, locations=['fgdet.engine'])
