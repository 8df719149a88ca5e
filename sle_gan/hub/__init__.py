"""Models as folders, and as repositories of a hub that speaks huggingface.co's protocol."""

from sle_gan.hub.download import local_folder, repository_file
from sle_gan.hub.files import generator_file

__all__ = ["generator_file", "local_folder", "repository_file"]
