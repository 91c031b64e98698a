from fgdet.models.post_processing import score_ensemble

__all__ = ['score_ensemble']
