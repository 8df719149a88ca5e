"""What a trained generator learned, steered: pure functions of a generator and of points in its latent space.

| module | what |
|---|---|
| `points` | a point: latents, noise, gates; read from seeds and files |
| `mixing` | the content of one picture with the style of another |
| `directions` | where pictures change most, and moves along it |
| `walks` | the way from point to point, as frames |
| `projection` | a picture's latents, and gates, found by optimisation |
| `sheets` | pictures of what was done with points |

A generator is what `sle_gan.hub.loading.load_folded` gives: a `Folded`, or a network that has no such form.
"""
