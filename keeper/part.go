package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members and utils/logfile.
const Part = "406ab483442653c1"
