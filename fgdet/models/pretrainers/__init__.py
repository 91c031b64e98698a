from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer

__all__ = ['FGCLIPPretrainer']
