from fgdet.models.classifiers.class_embeddings import ClassEmbeddings
from fgdet.models.classifiers.linear_classifier import LinearClassifier
from fgdet.models.classifiers.text_classifier import TextClassifier

__all__ = ['ClassEmbeddings', 'LinearClassifier', 'TextClassifier']
