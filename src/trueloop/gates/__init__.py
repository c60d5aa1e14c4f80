"""Gates: whether a candidate's paired scores meet floors and regression bounds, with stated confidence."""
