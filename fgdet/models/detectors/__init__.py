from fgdet.models.detectors.open_vocabulary_dino import OpenVocabularyDINO
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.models.detectors.open_vocabulary_single_stage import OpenVocabularySingleStage

__all__ = ['OpenVocabularyDINO', 'OpenVocabularyRCNN', 'OpenVocabularySingleStage']
