from fgdet.models.backbones.clip_vit import CLIPViTBackbone

__all__ = ['CLIPViTBackbone']
