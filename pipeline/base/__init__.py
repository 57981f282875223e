"""What every room uses: errors with a remedy, safe files, settings, progress, devices.

Imports no other room.
"""
