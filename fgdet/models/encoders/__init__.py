from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.encoders.vision_transformer import VisionTransformer

__all__ = ['TextTransformer', 'VisionTransformer']
