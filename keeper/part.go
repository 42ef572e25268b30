package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members and utils/logfile.
const Part = "5ab8913136b4079d"
