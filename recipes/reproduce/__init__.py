"""Does it work? Ten arms, several text models, one metric fixed beforehand.  parrot reproduce"""
