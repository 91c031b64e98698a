from fgdet.models.dense_heads.ov_atss_head import OVATSSHead
from fgdet.models.dense_heads.ov_dino_head import OVDINOHead
from fgdet.models.dense_heads.text_denoising import TextCdnQueryGenerator

__all__ = ['OVATSSHead', 'OVDINOHead', 'TextCdnQueryGenerator']
