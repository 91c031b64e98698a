from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN

__all__ = ['OpenVocabularyRCNN']
