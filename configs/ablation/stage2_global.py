# Ablation, stage 2 with the global loss alone: what more training gives without region data.
_base_ = 'stage1.py'
