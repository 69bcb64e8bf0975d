-- name: note
INSERT INTO audit (who, token, operation, path, status, digest) VALUES ($1, $2, $3, $4, $5, $6);
