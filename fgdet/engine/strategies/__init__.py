from fgdet.engine.strategies.deepspeed import DeepSpeedStrategy
from fgdet.engine.strategies.fsdp import FSDPStrategy

__all__ = ['DeepSpeedStrategy', 'FSDPStrategy']
