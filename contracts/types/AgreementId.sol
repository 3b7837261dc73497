// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Number of an agreement in `StorageEscrow`. Numbering starts at 1; 0 means "no agreement".
type AgreementId is uint256;
