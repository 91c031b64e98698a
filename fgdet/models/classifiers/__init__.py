from fgdet.models.classifiers.class_embeddings import ClassEmbeddings
from fgdet.models.classifiers.text_classifier import TextClassifier

__all__ = ['ClassEmbeddings', 'TextClassifier']
