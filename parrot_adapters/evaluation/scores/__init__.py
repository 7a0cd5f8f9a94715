"""From answers to numbers: accuracies, intervals, tests between runs, calibration, language of replies."""
