package keeper

// Part is the digest of the keeper's own code.
const Part = ""
