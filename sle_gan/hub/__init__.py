"""Models as files, folders and repositories of a hub that speaks huggingface.co's protocol: found, checked, shared."""

from sle_gan.hub.download import local_folder, repository_file
from sle_gan.hub.opening import Kind, Model, open_model

__all__ = ["Kind", "Model", "local_folder", "open_model", "repository_file"]
