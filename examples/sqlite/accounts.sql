-- SPDX-License-Identifier: Apache-2.0
PRAGMA journal_mode = WAL;
DROP TABLE IF EXISTS account;
CREATE TABLE account(owner TEXT PRIMARY KEY, balance INTEGER CHECK(balance >= 0));
INSERT INTO account VALUES('Ada', 100), ('Grace', 50);
BEGIN;
UPDATE account SET balance = balance - 30 WHERE owner = 'Ada';
UPDATE account SET balance = balance + 30 WHERE owner = 'Grace';
COMMIT;
BEGIN; UPDATE account SET balance = 0; ROLLBACK;
SELECT owner, balance FROM account ORDER BY owner;
PRAGMA integrity_check;
