"""Pictures that the program makes: from the networks' numbers to pixels, grids, labelled sheets and files.

`sle_gan.pictures.pixels` needs Keras and is imported by those who compute; the rest needs none.
"""

from sle_gan.pictures.writing import check_suffix, labelled_rows, make_grid, save_gif, save_picture, save_png, to_pillow

__all__ = ["check_suffix", "labelled_rows", "make_grid", "save_gif", "save_picture", "save_png", "to_pillow"]
