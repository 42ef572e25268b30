package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members and utils/logfile.
const Part = "08a8e3354d21a7e0"
