"""Train a small CNN on handwritten digits with Keras 3, then explain one of its decisions: `python keras_cnn.py`.

Keras runs on the backend that KERAS_BACKEND names: torch, tensorflow or jax.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import ddcam
from ddcam.adapters.keras import load

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

digits = load_digits()
pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)[..., None]
training, held_out = slice(0, 1400), slice(1400, None)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((32, 32, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(48, 3, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ],
    name="digits",
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(pictures[training], digits.target[training], batch_size=32, epochs=3, verbose=2)
accuracy = model.evaluate(pictures[held_out], digits.target[held_out], verbose=0)[1]
print(f"accuracy on {len(pictures[held_out])} held-out digits: {accuracy:.1%}")

explanation = ddcam.explain(
    load(model, labels=NAMES, preprocessing="raw"),
    next(ddcam.open_images(pictures[1405])),
    preserve="confidence:0.9",
)
print(f"{explanation}\n{explanation.text}")
ddcam.save(explanation, "keras_cnn.ddcam", replace=True)
