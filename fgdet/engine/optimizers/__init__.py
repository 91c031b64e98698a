from fgdet.engine.optimizers.bfloat16_wrapper import Bfloat16OptimWrapper
from fgdet.engine.optimizers.fsdp_wrapper import FSDPOptimWrapper
from fgdet.engine.optimizers.muon_adamw import MuonAdamW, MuonConstructor
from fgdet.engine.optimizers.trainable import TrainableOptimWrapperConstructor

__all__ = [
    'Bfloat16OptimWrapper',
    'FSDPOptimWrapper',
    'MuonAdamW',
    'MuonConstructor',
    'TrainableOptimWrapperConstructor',
]
