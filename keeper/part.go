package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members, signals and utils/logfile.
const Part = "c11b8d45586696a9"
