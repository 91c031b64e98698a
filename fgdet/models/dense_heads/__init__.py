from fgdet.models.dense_heads.ov_atss_head import OVATSSHead

__all__ = ['OVATSSHead']
