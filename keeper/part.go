package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early and utils/logfile.
const Part = "19082f1cb7c6455c"
