package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members, signals and utils/logfile.
const Part = "be39476c4d85b469"
