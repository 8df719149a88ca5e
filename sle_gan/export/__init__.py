"""A trained generator as one file or folder for other programs: latents in, uint8 pictures out.

| format | what is written | needs |
|---|---|---|
| `saved_model` | a folder, for TensorFlow, TensorFlow Serving, TFLite's converter | the TensorFlow engine |
| `onnx` | a file, for ONNX Runtime and what reads ONNX: browsers, C#, C++, phones | the extra `onnx` |

Both compute what `Generator(latents)` computes: the noise maps are its fixed ones. Pictures are uint8 unless asked for
otherwise, so that they can be shown or saved as they are, and no one has to know about (-1, 1), rounding and clipping.
"""
