"""Training jobs: one file per method, `Config -> main(config) -> TrainingReport`."""

if __name__ == "trainers":
    raise ImportError("import trueloop.trainers instead of trainers: as two modules its classes would not be the same")
