-- name: zone_of
SELECT zone FROM company WHERE company = $1;
