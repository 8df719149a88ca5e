"""Models as files, folders and repositories of a hub that speaks huggingface.co's protocol: found, checked, shared."""

from sle_gan.hub.download import local_folder, repository_file
from sle_gan.hub.model_files import generator_file

__all__ = ["generator_file", "local_folder", "repository_file"]
