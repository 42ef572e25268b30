package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members and utils/logfile.
const Part = "dc6768bdb32a640d"
