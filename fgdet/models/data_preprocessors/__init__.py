from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor

__all__ = ['RegionTextDataPreprocessor']
