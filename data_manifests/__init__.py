"""The manifests that come with the project; see README.md."""
