"""Arrays and COCO dicts in, numbers out; no torch."""
