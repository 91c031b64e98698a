from fgdet.models.roi_heads.open_vocabulary_cascade_roi_head import OpenVocabularyCascadeRoIHead
from fgdet.models.roi_heads.open_vocabulary_roi_head import OpenVocabularyRoIHead
from fgdet.models.roi_heads.separable_roi_extractor import SeparableRoIExtractor
from fgdet.models.roi_heads.text_bbox_head import TextBBoxHead

__all__ = ['OpenVocabularyCascadeRoIHead', 'OpenVocabularyRoIHead', 'SeparableRoIExtractor', 'TextBBoxHead']
