"""Fit a network on flattened digits with scikit-learn, then explain one of its decisions."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ddcam
from ddcam.adapters.sklearn import load

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

digits = load_digits()
pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)
rows = pictures.reshape(len(pictures), -1)
training, held_out = slice(0, 1400), slice(1400, None)
estimator = make_pipeline(StandardScaler(), MLPClassifier((64,), alpha=1.0, max_iter=300, random_state=0))
estimator.fit(rows[training], digits.target[training])
accuracy = estimator.score(rows[held_out], digits.target[held_out])
print(f"accuracy on {len(rows[held_out])} held-out digits: {accuracy:.1%}")

explanation = ddcam.explain(
    load(estimator, (8, 8), labels=NAMES, preprocessing="raw", baseline="zero"),
    next(ddcam.open_images(pictures[1405])),
    preserve="confidence:0.9",
)
print(f"{explanation}\n{explanation.text}")
ddcam.save(explanation, "sklearn_digits.ddcam", replace=True)
