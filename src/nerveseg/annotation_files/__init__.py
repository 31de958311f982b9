"""Annotations as the tools write them that people annotate with."""

MASK_FORMATS = ("png", "labelme", "coco", "nifti", "dicom-seg")  # that `nerveseg predict` writes
