"""The paths that the real-estate document prints, as data. Each is answered under `/v1` and under `/api/ml/v1`."""
MOVE = KIND = CONTACT = ()
