"""Box annotations as COCO, Pascal VOC and YOLO have them: one module a format."""
