"""What the stages compute with: flows, inpainters, segmenters, encoders, masks."""
