"""Runs Keras' own tests and writes docs/keras_tests.md: `PYTHONPATH=tests python -m keras_suite`."""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

from support import quick_keras

quick_keras.install()

from keras_suite import running  # noqa: E402

found = {file: running.run(file) for file in running.files()}
running.PAGE.write_text(running.page(found), encoding="utf-8")
print(running.PAGE)
