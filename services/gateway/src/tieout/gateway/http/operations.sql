-- name: note
INSERT INTO audit (who, operation, path, status, digest) VALUES ($1, $2, $3, $4, $5);
