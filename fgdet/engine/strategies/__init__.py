from fgdet.engine.strategies.fsdp import FSDPStrategy

__all__ = ['FSDPStrategy']
