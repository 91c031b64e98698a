"""Kinds of attributes that phrases are told apart by."""

#: In the order of the sample sheet. FG-CLIP (arXiv 2505.05071, section 3.2) changes attributes and keeps the object.
KINDS = ('colour', 'material', 'pattern', 'shape', 'size', 'texture', 'state', 'position', 'count')
